consul {
  address = "127.0.0.1:8500"
}

template {
  source      = "site.pem.hbs"
  destination = "/etc/nginx/tls/site.pem"
  perms       = "0600"
  command     = ["systemctl", "reload", "nginx"]
}
