# SPDX-License-Identifier: MIT
# Sockets as Ruby programs use them: threads, fork, select, IO.copy_stream, spawn.
require "socket"

def pair(listener, client)
  [client, listener.accept]
end

def talk(a, b)
  echo = Thread.new do
    b.each_line { |line| b.write(line) }
    b.close_write
  end
  10.times do |i|
    a.puts("line #{i}")
    IO.select([a], nil, nil, 5) or raise "no answer"
    a.gets == "line #{i}\n" or raise "other line"
  end
  system("true")
  a.close_write
  a.read == "" or raise "more"
  echo.join
  [a, b].each(&:close)
end

tcp = TCPServer.new("127.0.0.1", 0)
unix = UNIXServer.new("ruby.sock")
talk(*pair(tcp, TCPSocket.new("127.0.0.1", tcp.addr[1])))
talk(*pair(unix, UNIXSocket.new("ruby.sock")))

a, b = pair(tcp, TCPSocket.new("127.0.0.1", tcp.addr[1]))
File.write("file", "f" * 5000)
pid = fork do
  File.open("file") { |f| IO.copy_stream(f, a) }
  exit!(0)
end
a.close
b.read.size == 5000 or raise "short"
Process.wait(pid)
b.close
a, b = pair(tcp, TCPSocket.new("127.0.0.1", tcp.addr[1]))
8.times { a.write("x"); b.readpartial(1) }
Process.wait(spawn("echo said", out: a))
a.close
b.read == "said\n" or raise "not said"
