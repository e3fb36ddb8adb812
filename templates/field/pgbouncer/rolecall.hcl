consul {
  address = "127.0.0.1:8500"
}

template {
  source      = "pgbouncer.ini.hbs"
  destination = "/etc/pgbouncer/databases.ini"
  perms       = "0644"
  command     = ["systemctl", "reload", "pgbouncer"]
}
