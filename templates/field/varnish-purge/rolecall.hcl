consul {
  address = "127.0.0.1:8500"
}

template {
  source      = "acl.vcl.hbs"
  destination = "/etc/varnish/acl.vcl"
  perms       = "0644"
  command     = ["systemctl", "reload", "varnish"]
}
