# /etc/rolecall/register.hcl: keeps this machine's Redis, and its role, in Consul.

consul {
  address = "127.0.0.1:8500"
  # token_file = "/run/credentials/rolecall-register.service/consul-token"
}

admin {
  address = "127.0.0.1:9500"
}

# Less than TimeoutStopSec of the unit.
leave_timeout = "10s"

service "redis" {
  # The address that clients and HAProxy reach, found anew when it changes. Or: address_interface = "eth0", and
  # address_family = "ipv4" or "ipv6"; or written down: address = "192.0.2.10". The default, this machine's address on
  # the way to Consul, is loopback here, because the agent is on this machine.
  address_cidr = "192.0.2.0/24"
  port    = 6379

  ttl                       = "10s"
  deregister_critical_after = "1m"

  probe "redis" {
    address = "127.0.0.1:6379"
    # password_file = "/run/credentials/rolecall-register.service/redis-password"

    sentinel {
      master    = "mymaster"
      addresses = ["192.0.2.10:26379", "192.0.2.11:26379", "192.0.2.12:26379"]
      quorum    = 2
    }
  }
}
