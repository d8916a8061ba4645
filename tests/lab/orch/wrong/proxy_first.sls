# The proxy before anything else: there are no rings anywhere.

The proxy is installed:
  phase.puppet:
    - role: proxy
