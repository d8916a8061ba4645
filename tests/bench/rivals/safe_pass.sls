# Puppet on all nodes in the form in which Salt says of most nodes that did not answer. "batch" loses every failure, so
# where not all are to run at once, they go in groups, one after the other.
{%- for group in pillar.nodes | batch(pillar.window or pillar.nodes | length) %}

group {{ loop.index }}:
  salt.function:
    - name: cmd.run
    - tgt: {{ group | tojson }}
    - tgt_type: list
    - expect_minions: true
    - timeout: 60
    - arg: [puppet agent --test]
    - kwarg: {success_retcodes: [0, 2]}
{%- endfor %}
