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
  source      = "site.pem.ctmpl"
  destination = "/etc/nginx/tls/site.pem"
  perms       = 0600
  command     = "systemctl reload nginx"
}
