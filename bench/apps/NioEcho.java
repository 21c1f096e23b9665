// SPDX-License-Identifier: MIT
// An echo server on java.nio: one selector, one thread.  Prints its port on 127.0.0.1.
import java.net.InetSocketAddress;
import java.net.StandardSocketOptions;
import java.nio.ByteBuffer;
import java.nio.channels.SelectionKey;
import java.nio.channels.Selector;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.util.Iterator;

public final class NioEcho {
	private static final ByteBuffer buffer = ByteBuffer.allocateDirect(65536);

	private static void accept(Selector selector, ServerSocketChannel listener)
			throws java.io.IOException {
		SocketChannel client = listener.accept();
		if (client == null)
			return;
		client.configureBlocking(false);
		client.setOption(StandardSocketOptions.TCP_NODELAY, true);
		client.register(selector, SelectionKey.OP_READ);
	}

	private static void echo(SocketChannel client) throws java.io.IOException {
		buffer.clear();
		if (client.read(buffer) < 0) {
			client.close();
			return;
		}
		buffer.flip();
		while (buffer.hasRemaining())
			client.write(buffer);
	}

	public static void main(String[] args) throws java.io.IOException {
		Selector selector = Selector.open();
		ServerSocketChannel listener = ServerSocketChannel.open();

		listener.bind(new InetSocketAddress("127.0.0.1", 0), 1024);
		listener.configureBlocking(false);
		listener.register(selector, SelectionKey.OP_ACCEPT);
		System.out.println(((InetSocketAddress) listener.getLocalAddress()).getPort());
		for (;;) {
			selector.select();
			Iterator<SelectionKey> keys = selector.selectedKeys().iterator();
			while (keys.hasNext()) {
				SelectionKey key = keys.next();
				keys.remove();
				if (key.isAcceptable())
					accept(selector, listener);
				else
					echo((SocketChannel) key.channel());
			}
		}
	}
}
