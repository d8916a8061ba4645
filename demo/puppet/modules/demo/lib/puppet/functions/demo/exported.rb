# What the nodes have exported under a name, by node: what a query of PuppetDB would return.
Puppet::Functions.create_function(:'demo::exported') do
  dispatch :exported do
    param 'String', :name
    return_type 'Hash[String, String]'
  end

  def exported(name)
    directory = closure_scope['demo::puppetdb']
    paths = Dir.glob(File.join(directory, "#{name}.*")).sort
    paths.to_h { |path| [File.basename(path).delete_prefix("#{name}."), File.read(path)] }
  end
end
