// SPDX-License-Identifier: MIT
// Sockets as Node programs use them: http, pipes, half-close, children that inherit.
const assert = require("assert");
const child = require("child_process");
const http = require("http");
const net = require("net");

function echo(where) {
	return new Promise((done) => {
		const server = net.createServer((s) => s.pipe(s));
		server.listen(...where, () => {
			const a = server.address();
			const s = net.connect(typeof a === "string" ? a : a.port, "127.0.0.1");
			let got = "";
			s.on("data", (d) => {
				got += d;
				if (got.length < 100)
					s.write("0123456789");
				else
					s.end();
			});
			s.on("close", () => {
				assert.strictEqual(got.length, 100);
				server.close(done);
			});
			s.write("0123456789");
		});
	});
}

function web() {
	return new Promise((done) => {
		const server = http.createServer((q, r) => r.end("x".repeat(100000)));
		const agent = new http.Agent({ keepAlive: true });
		let left = 5;
		function next() {
			if (!left--) {
				agent.destroy();
				server.close(done);
				return;
			}
			const port = server.address().port;
			http.get({ host: "127.0.0.1", port, agent }, (r) => {
				r.resume();
				r.on("end", () => setImmediate(next));
			});
		}
		server.listen(0, "127.0.0.1", next);
	});
}

function said() {
	return new Promise((done) => {
		const server = net.createServer((s) => {
			s.on("data", () => {
				const c = child.spawn("echo", ["said"], { stdio: ["ignore", s, "ignore"] });
				c.on("exit", () => s.destroy());
			});
		});
		server.listen(0, "127.0.0.1", () => {
			const s = net.connect(server.address().port, "127.0.0.1");
			let got = "";
			s.write("go");
			s.on("data", (d) => { got += d; });
			s.on("close", () => {
				assert.strictEqual(got, "said\n");
				server.close(done);
			});
		});
	});
}

(async () => {
	await echo([0, "127.0.0.1"]);
	await echo(["node.sock"]);
	await web();
	await said();
})();
