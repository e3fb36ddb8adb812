consul {
  address = "127.0.0.1:8500"
}

template {
  source      = "rules.yml.hbs"
  destination = "/etc/prometheus/rules.d/services.yml"
  perms       = "0644"
  command     = ["systemctl", "reload", "prometheus"]
}
