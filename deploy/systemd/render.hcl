# /etc/rolecall/render.hcl: renders this machine's HAProxy configuration from Consul.

consul {
  address = "127.0.0.1:8500"
  # token_file = "/run/credentials/rolecall-render.service/consul-token"
}

admin {
  address = "127.0.0.1:9501"
}

template {
  source      = "/etc/rolecall/haproxy-redis.cfg.hbs"
  destination = "/var/lib/rolecall/haproxy.cfg"

  wait {
    min = "0s"
    max = "1s"
  }

  haproxy {
    master_socket = "/run/haproxy/master.sock"
    stats_socket  = "/run/haproxy/stats.sock"
    binary        = "/usr/sbin/haproxy"
  }
}

# Which process HAProxy's checks must find at each address.
template {
  source      = "/etc/rolecall/redis-identities.map.hbs"
  destination = "/var/lib/rolecall/redis-identities.map"
}
