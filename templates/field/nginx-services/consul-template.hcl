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
  source      = "services.conf.ctmpl"
  destination = "/etc/nginx/conf.d/services.conf"
  perms       = 0644
  command     = "systemctl reload nginx"
}
