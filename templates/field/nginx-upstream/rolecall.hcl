consul {
  address = "127.0.0.1:8500"
}

template {
  source      = "upstream.conf.hbs"
  destination = "/etc/nginx/conf.d/upstream.conf"
  perms       = "0644"
  command     = ["nginx", "-s", "reload"]
}
