# The compute scenario in the form in which Salt says of most nodes that did not answer: lists of ids that are all
# expected, and a timeout that is longer than a run.
{%- macro run(id, nodes, function, argument, after) %}

{{ id }}:
  salt.function:
    - name: {{ function }}
    - tgt: {{ nodes | tojson }}
    - tgt_type: list
    - expect_minions: true
    - timeout: 60
    - arg: [{{ argument }}]
{%- if function == 'cmd.run' %}
    - kwarg: {success_retcodes: [0, 2]}
{%- endif %}
    - failhard: true
{%- if after %}
    - require:
      - salt: {{ after }}
{%- endif %}
{%- endmacro %}
{%- set puppet = 'puppet agent --test' %}
{{ run('primary', ['ctl1'], 'cmd.run', puppet, none) }}
{{ run('secondary', ['ctl2'], 'cmd.run', puppet, 'primary') }}
{{ run('replication', ['ctl1', 'ctl2'], 'cmd.run', puppet, 'secondary') }}
{{ run('writer', pillar.compute, 'file.file_exists', pillar.writer, 'replication') }}
{{ run('compute', pillar.compute, 'cmd.run', puppet, 'writer') }}
{{ run('endpoint', ['ep1'], 'cmd.run', puppet, 'compute') }}
