"""What several tests share: worlds, servers, hosts."""
