consul {
  address = "127.0.0.1:8500"
}

template {
  source      = "cds.yaml.hbs"
  destination = "/etc/envoy/cds.yaml"
  perms       = "0644"
  command     = ["true"]
}
