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
  source      = "rules.yml.ctmpl"
  destination = "/etc/prometheus/rules.d/services.yml"
  perms       = 0644
  command     = "promtool check rules /etc/prometheus/rules.d/services.yml && systemctl reload prometheus"
  left_delimiter  = "[["
  right_delimiter = "]]"
}
