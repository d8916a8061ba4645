"""Give the HAProxy of this node a command through its socket, and print what it answers."""

import socket
import sys

with socket.socket(socket.AF_UNIX) as connection:
    connection.connect("/run/haproxy/admin.sock")
    connection.sendall(f"{sys.argv[1]}\n".encode())
    print(connection.recv(1000).decode().strip())
