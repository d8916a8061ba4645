# Lets Ruby keep what it has compiled of Puppet, which takes longer than all the rest of a small run.
begin
  require 'bootsnap'
  Bootsnap.setup(
    cache_dir: ENV.fetch('COMPILED_RUBY'), development_mode: false, load_path_cache: false,
    compile_cache_iseq: true, compile_cache_yaml: false, compile_cache_json: false
  )
rescue LoadError
  # Another Ruby than Debian's: Puppet runs all the same.
end
