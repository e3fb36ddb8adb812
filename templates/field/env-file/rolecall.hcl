consul {
  address = "127.0.0.1:8500"
}

template {
  source      = "app.env.hbs"
  destination = "/etc/app/app.env"
  perms       = "0644"
  command     = ["systemctl", "restart", "app"]
}
