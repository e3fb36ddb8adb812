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
  source      = "app.env.ctmpl"
  destination = "/etc/app/app.env"
  perms       = 0644
  command     = "systemctl restart app"
  error_on_missing_key = true
}
