swift_proxy:
  auth_url: http://px1.lab.test:8080/auth/v1.0
  user: lab:gate
  key: secret
