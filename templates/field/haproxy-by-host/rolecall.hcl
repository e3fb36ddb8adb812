consul {
  address = "127.0.0.1:8500"
}

template {
  source      = "haproxy.cfg.hbs"
  destination = "/etc/haproxy/haproxy.cfg"

  haproxy {
    master_socket = "/run/haproxy/master.sock"
    stats_socket  = "/run/haproxy/admin.sock"
  }
}
