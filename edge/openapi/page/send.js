// Requests: put together, sent, and what comes back read as it comes.

/** address fills a path and a query. */
function address(base, path, values) {
	let filled = path;
	const query = new URLSearchParams();
	for (const { parameter, text } of values) {
		if (parameter.in === "path") {
			const many = (parameter.schema || {})["x-multi-segment"];
			const encoded = many ? text.split("/").map(encodeURIComponent).join("/") : encodeURIComponent(text);
			filled = filled.replace("{" + parameter.name + "}", () => encoded);
		} else if (parameter.in === "query" && text !== "") {
			const list = (parameter.schema || {}).type === "array";
			(list ? text.split("\n").filter(Boolean) : [text]).forEach((t) => query.append(parameter.name, t));
		}
	}
	const q = query.toString();
	return base + filled + (q ? "?" + q : "");
}

/** curl is the same request for a terminal. */
function curl(request) {
	const quote = (s) => "'" + String(s).replaceAll("'", "'\\''") + "'";
	const parts = ["curl -i"];
	if (request.stream) parts[0] += " -N";
	if (request.method !== "GET") parts.push("-X " + request.method);
	parts.push(quote(new URL(request.url, location.href)));
	for (const [name, value] of Object.entries(request.headers)) parts.push("-H " + quote(name + ": " + value));
	if (request.body !== undefined) parts.push("--data-binary " + quote(request.body));
	return parts.join(" \\\n  ");
}

/** pretty indents JSON and leaves everything else as it is. */
function pretty(text) {
	try {
		return JSON.stringify(JSON.parse(text), null, 2);
	} catch {
		return text;
	}
}

/** lines calls each with every line of a body as it comes. */
async function lines(body, each) {
	const reader = body.pipeThrough(new TextDecoderStream()).getReader();
	let rest = "";
	for (;;) {
		const { done, value } = await reader.read();
		rest += value || "";
		const whole = rest.split(/\r\n|\r(?!$)|\n/);
		rest = done ? "" : whole.pop();
		whole.forEach(each);
		if (done) return;
	}
}

/** eventReader puts lines together to server-sent events (WHATWG HTML, 9.2.6). */
function eventReader(each) {
	let event = { data: [] };
	let lastID = "";
	return (line) => {
		if (line === "") {
			if (event.data.length) each({ id: lastID, name: event.name || "message", data: event.data.join("\n") });
			event = { data: [] };
			return;
		}
		const colon = line.indexOf(":");
		if (colon === 0) return;
		const field = colon < 0 ? line : line.slice(0, colon);
		const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
		if (field === "data") event.data.push(value);
		else if (field === "event") event.name = value;
		else if (field === "id" && !value.includes("\0")) lastID = value;
	};
}

/** send does a request and tells what comes: started, item, text, ended. */
async function send(request, tell) {
	const began = performance.now();
	try {
		const answer = await fetch(request.url, { method: request.method, headers: request.headers, body: request.body, signal: request.signal, credentials: "same-origin", cache: "no-store" });
		tell.started(answer, performance.now() - began);
		const type = (answer.headers.get("content-type") || "").split(";")[0];
		if (answer.body && type === "text/event-stream") await lines(answer.body, eventReader(tell.item));
		else if (answer.body && type === "application/x-ndjson") await lines(answer.body, (line) => line && tell.item({ name: "line", data: line }));
		else tell.text(await answer.text());
		tell.ended(performance.now() - began);
	} catch (err) {
		tell.broke(err, performance.now() - began);
	}
}
