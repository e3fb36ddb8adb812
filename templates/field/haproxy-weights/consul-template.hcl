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
  source      = "backend.cfg.ctmpl"
  destination = "/etc/haproxy/conf.d/backend.cfg"
  perms       = 0644
  command     = "/usr/local/bin/reload-haproxy.sh"
  wait {
    min = "2s"
    max = "10s"
  }
}
