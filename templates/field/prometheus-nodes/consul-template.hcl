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
  source      = "prometheus.yml.ctmpl"
  destination = "/etc/prometheus/prometheus.yml"
  perms       = 0644
  command     = "systemctl reload prometheus"
}
