consul {
  address = "127.0.0.1:8500"

  retry {
    enabled  = true
    attempts = 12
    backoff  = "250ms"
  }
}

log_level = "warn"

template {
  source      = "cds.yaml.ctmpl"
  destination = "/etc/envoy/cds.yaml"
  perms       = 0644
  command     = "true"
}
