consul {
  address = "127.0.0.1:8500"
}

template {
  source      = "backends.vcl.hbs"
  destination = "/etc/varnish/backends.vcl"
  perms       = "0644"
  command     = ["systemctl", "reload", "varnish"]
}
