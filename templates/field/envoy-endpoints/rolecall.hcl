consul {
  address = "127.0.0.1:8500"
}

template {
  source      = "eds.yaml.hbs"
  destination = "/etc/envoy/eds.yaml"
  perms       = "0644"
  command     = ["true"]
}
