# Puppet on all nodes as people write it; "batch" where not all are to run at once.

everywhere:
  salt.function:
    - name: cmd.run
    - tgt: '*'
    - arg: [puppet agent --test]
    - kwarg: {success_retcodes: [0, 2]}
{%- if pillar.window %}
    - batch: {{ pillar.window }}
{%- endif %}
