// A peer: an echo server with the package ws.  The argument is the port; with
// a certificate and its key after it, it speaks TLS.
const { readFileSync } = require("fs");
const { WebSocketServer } = require("ws");

const [, , port, cert, key] = process.argv;
const address = { host: "127.0.0.1", port: Number(port), backlog: 1024 };
const options = { perMessageDeflate: false };

if (cert) {
	options.server = require("https").createServer({
		cert: readFileSync(cert),
		key: readFileSync(key),
	});
	options.server.listen(address);
} else {
	Object.assign(options, address);
}

const server = new WebSocketServer(options);

server.on("connection", (socket) => {
	socket.on("message", (data, binary) => socket.send(data, { binary }));
	socket.on("error", () => {});
});
