"""Compose files as people publish them."""

from __future__ import annotations

HANDBOOK = """
networks:
  frontend:
    driver: bridge
    subnet: 10.20.0.0/24
    options:
      mtu: 9000
  backend:
    driver: bridge
    subnet: 10.30.0.0/24
    internal: true # No external access
"""

BLOG = """
version: "3.8"
services:
  db:
    image: mysql:8
    restart: unless-stopped
    environment:
      MYSQL_ROOT_PASSWORD: ${DB_ROOT:-secret}
      MYSQL_DATABASE: blog
    volumes: [db_data:/var/lib/mysql]
    healthcheck: {test: ["CMD", "mysqladmin", "ping"], interval: 10s}
    networks: [blog_net]
  wordpress:
    depends_on: {db: {condition: service_healthy}}
    image: wordpress:latest
    ports:
      - "${BLOG_PORT:-18080}:80"
    networks: [blog_net]
volumes: {db_data: {}}
networks:
  blog_net:
    driver: bridge
"""

VOTING = """
services:
  vote:
    build: {context: ./vote, target: dev}
    ports: ["18081:80"]
    networks: [front-tier, back-tier]
  result:
    build: ./result
    ports: ["18082:80", "127.0.0.1:19229:9229"]
    networks: [front-tier, back-tier]
  worker:
    networks: [back-tier]
  redis:
    image: redis:alpine
    networks: [back-tier]
  postgres:
    image: postgres:15-alpine
    networks:
      back-tier:
        aliases: [db]
networks:
  front-tier:
  back-tier: {internal: true}
"""

MONITORING = """
x-common: &common
  restart: unless-stopped
  logging: {driver: json-file, options: {max-size: 10m}}
  networks: [monitor-net]
services:
  prometheus:
    <<: *common
    image: prom/prometheus
    command: ["--config.file=/etc/prometheus/prometheus.yml"]
    expose: [9090]
  grafana:
    <<: *common
    image: grafana/grafana
    ports:
      - target: 3000
        published: 13000
        protocol: tcp
        mode: host
  cadvisor:
    <<: *common
    ports: ["127.0.0.1:18090-18092:8080-8082"]
networks:
  monitor-net:
    driver: bridge
    driver_opts:
      com.docker.network.driver.mtu: "1450"
"""

DNS = """
services:
  pihole:
    container_name: pihole
    ports: ["10053:53/tcp", "10053:53/udp", "10067:67/udp"]
    cap_add: [NET_ADMIN]
    networks:
      dns_net:
        ipv4_address: 172.28.5.53
        mac_address: 02:42:ac:1c:05:35
  unbound:
    networks: {dns_net: {ipv4_address: 172.28.5.200}}
networks:
  dns_net:
    name: resolvers
    ipam:
      driver: default
      config: [{subnet: 172.28.5.0/24, gateway: 172.28.5.1}]
"""

DEFAULTS = """
name: chat
services:
  server: {image: chat, ports: ["15000:5000"], tmpfs: /run}
  mongo: {image: mongo, command: mongod --oplogSize 128}
  backup: {image: backup, network_mode: none}
networks:
  default:
    ipam: {config: [{subnet: 10.77.0.0/24}]}
"""

PUBLIC = {
    "blog": BLOG,
    "voting": VOTING,
    "monitoring": MONITORING,
    "dns": DNS,
    "defaults": DEFAULTS,
}
