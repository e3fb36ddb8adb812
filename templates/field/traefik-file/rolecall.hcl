consul {
  address = "127.0.0.1:8500"
}

template {
  source      = "dynamic.toml.hbs"
  destination = "/etc/traefik/dynamic.toml"
  perms       = "0644"
  command     = ["true"]
}
