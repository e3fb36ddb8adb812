consul {
  address = "127.0.0.1:8500"
}

template {
  source      = "hosts.map.hbs"
  destination = "/etc/haproxy/maps/hosts.map"
  perms       = "0644"
  command     = ["systemctl", "reload", "haproxy"]
  backup      = true
}
