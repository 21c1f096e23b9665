// SPDX-License-Identifier: MIT
// Sockets as Java programs use them: blocking, channels with a selector, a child process.
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.ByteBuffer;
import java.nio.channels.SelectionKey;
import java.nio.channels.Selector;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;

public class Sockets {
	static void blocking() throws Exception {
		ServerSocket listener = new ServerSocket(0, 5, InetAddress.getLoopbackAddress());
		Socket a = new Socket(listener.getInetAddress(), listener.getLocalPort());
		Socket b = listener.accept();
		a.setSoTimeout(5000);
		b.setSoTimeout(5000);
		for (int i = 0; i < 10; i++) {
			a.getOutputStream().write(i);
			if (b.getInputStream().read() != i)
				throw new Exception("other byte");
			b.getOutputStream().write(i);
			if (a.getInputStream().read() != i)
				throw new Exception("other byte");
		}
		new ProcessBuilder("true").start().waitFor();
		a.close();
		if (b.getInputStream().read() != -1)
			throw new Exception("no end");
		b.close();
		listener.close();
	}

	static void channels() throws Exception {
		ServerSocketChannel listener = ServerSocketChannel.open();
		listener.bind(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0));
		SocketChannel a = SocketChannel.open(listener.getLocalAddress());
		SocketChannel b = listener.accept();
		Selector selector = Selector.open();
		ByteBuffer buf = ByteBuffer.allocateDirect(100);
		b.configureBlocking(false);
		b.register(selector, SelectionKey.OP_READ);
		for (int i = 0; i < 10; i++) {
			a.write(ByteBuffer.wrap(new byte[] {1, 2, 3}));
			if (selector.select(5000) != 1)
				throw new Exception("not told");
			selector.selectedKeys().clear();
			buf.clear();
			if (b.read(buf) != 3)
				throw new Exception("short");
			buf.flip();
			b.write(buf);
			buf.clear();
			if (a.read(buf) != 3)
				throw new Exception("short");
		}
		a.close();
		b.close();
		selector.close();
		listener.close();
	}

	public static void main(String[] args) throws Exception {
		blocking();
		channels();
	}
}
