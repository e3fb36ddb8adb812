consul {
  address = "127.0.0.1:8500"
}

template {
  source      = "services.conf.hbs"
  destination = "/etc/nginx/conf.d/services.conf"
  perms       = "0644"
  command     = ["systemctl", "reload", "nginx"]
}
