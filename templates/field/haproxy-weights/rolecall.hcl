consul {
  address = "127.0.0.1:8500"
}

template {
  source      = "backend.cfg.hbs"
  destination = "/etc/haproxy/conf.d/backend.cfg"
  perms       = "0644"
  command     = ["/usr/local/bin/reload-haproxy.sh"]
  wait {
    min = "2s"
    max = "10s"
  }
}
