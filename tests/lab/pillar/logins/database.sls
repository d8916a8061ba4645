mysql.user: gate
mysql.pass: secret
