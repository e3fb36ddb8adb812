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
  source      = "eds.yaml.ctmpl"
  destination = "/etc/envoy/eds.yaml"
  perms       = 0644
  command     = "true"
}
