// SPDX-License-Identifier: MIT
// A web server of node's own module: one small page.  Prints its port on 127.0.0.1.
"use strict";
const server = require("http").createServer((request, response) => {
	response.writeHead(200, { "Content-Type": "text/plain", "Content-Length": 5 });
	response.end("hello");
});
server.keepAliveTimeout = 0;
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
