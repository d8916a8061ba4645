# The compute scenario as people write it: patterns, one step after the other.

primary:
  salt.function:
    - name: cmd.run
    - tgt: ctl1
    - arg: [puppet agent --test]
    - kwarg: {success_retcodes: [0, 2]}

secondary:
  salt.function:
    - name: cmd.run
    - tgt: ctl2
    - arg: [puppet agent --test]
    - kwarg: {success_retcodes: [0, 2]}
    - require:
      - salt: primary

replication:
  salt.function:
    - name: cmd.run
    - tgt: 'ctl*'
    - arg: [puppet agent --test]
    - kwarg: {success_retcodes: [0, 2]}
    - require:
      - salt: secondary

writer:
  salt.function:
    - name: file.file_exists
    - tgt: 'cmp*'
    - arg: [{{ pillar.writer }}]
    - require:
      - salt: replication

compute:
  salt.function:
    - name: cmd.run
    - tgt: 'cmp*'
    - arg: [puppet agent --test]
    - kwarg: {success_retcodes: [0, 2]}
    - require:
      - salt: writer

endpoint:
  salt.function:
    - name: cmd.run
    - tgt: ep1
    - arg: [puppet agent --test]
    - kwarg: {success_retcodes: [0, 2]}
    - require:
      - salt: compute
