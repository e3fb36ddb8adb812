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
  source      = "service.env.ctmpl"
  destination = "/etc/default/service"
  perms       = 0644
  command     = "systemctl restart service"
}
