consul {
  address = "127.0.0.1:8500"
}

template {
  source      = "service.env.hbs"
  destination = "/etc/default/service"
  perms       = "0644"
  command     = ["systemctl", "restart", "service"]
}
