consul {
  address = "127.0.0.1:8500"
}

template {
  source      = "canary.conf.hbs"
  destination = "/etc/nginx/conf.d/canary.conf"
  perms       = "0644"
  command     = ["systemctl", "reload", "nginx"]
}
