consul {
  address = "127.0.0.1:8500"
}

template {
  source      = "targets.json.hbs"
  destination = "/etc/prometheus/targets/app.json"
  perms       = "0644"
  command     = ["true"]
}
