consul {
  address = "127.0.0.1:8500"
}

template {
  source      = "hosts.hbs"
  destination = "/etc/hosts"
  perms       = "0644"
  command     = ["true"]
}
