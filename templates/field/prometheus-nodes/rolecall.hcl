consul {
  address = "127.0.0.1:8500"
}

template {
  source      = "prometheus.yml.hbs"
  destination = "/etc/prometheus/prometheus.yml"
  perms       = "0644"
  command     = ["systemctl", "reload", "prometheus"]
}
