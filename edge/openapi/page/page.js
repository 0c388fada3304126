// The page: a list of operations, and one of them to read and to try.

const byID = (id) => document.getElementById(id);
const base = location.pathname.replace(/\/docs(\/.*)?$/, "");
const maxItems = 200; // of a stream, on the page

/** operationsOf lists the operations of a document. */
function operationsOf(doc) {
	const all = [];
	for (const [path, item] of Object.entries(doc.paths || {})) {
		for (const [verb, operation] of Object.entries(item)) all.push({ path, verb, ...operation });
	}
	return all;
}

/** list shows the operations by tag that have the words. */
function list(doc, operations, words) {
	const wanted = words.toLowerCase().split(/\s+/).filter(Boolean);
	const groups = (doc.tags || []).map((tag) => {
		const found = operations.filter((o) => {
			const text = [o.path, o.verb, o.operationId, o.summary].join(" ").toLowerCase();
			return (o.tags || []).includes(tag.name) && wanted.every((w) => text.includes(w));
		});
		if (!found.length) return null;
		return [make("h2", {}, tag.name), make("ul", {}, found.map((o) => make("li", {},
			make("a", { href: "#" + encodeURIComponent(o.operationId), "aria-current": location.hash === "#" + encodeURIComponent(o.operationId) && "page" },
				make("span", { class: "verb " + o.verb }, o.verb.toUpperCase()), make("span", {}, o.operationId.split(".").pop(), o.deprecated && " (deprecated)")))))];
	}).filter(Boolean);
	byID("list").replaceChildren(...groups.flat());
	if (!groups.length) byID("list").append(make("p", { class: "quiet" }, words ? "No operation has these words." : "There are no operations."));
}

/** input makes the control for a parameter. */
function input(doc, parameter, id) {
	const schema = resolve(doc, parameter.schema);
	const attributes = { id, name: parameter.name, required: parameter.in === "path", autocomplete: "off", spellcheck: "false", "aria-describedby": id + "-about" };
	const choices = schema.type === "boolean" ? ["true", "false"] : schema.enum;
	if (choices) return make("select", attributes, ["", ...choices].map((c) => make("option", { value: c }, c || "not set")));
	if (schema.type === "array") return make("textarea", { ...attributes, rows: 2 });
	return make("input", { ...attributes, type: "text", inputmode: schema.type === "integer" ? "numeric" : null, placeholder: schema.type === "string" && !schema.format ? null : schema.format });
}

/** field is a control with its name and what is said about it. */
function field(doc, parameter, index) {
	const id = "p" + index;
	const control = input(doc, parameter, id);
	const schema = resolve(doc, parameter.schema);
	const about = [parameter.in, parameter.required && "required", schema.type === "array" && "one on each line", limitsOf(schema)].filter(Boolean).join(" · ");
	return { parameter, control, box: make("div", { class: "field" },
		make("label", { for: id }, parameter.name, " ", make("span", { class: "quiet small" }, typeName(doc, parameter.schema))), control,
		make("div", { id: id + "-about", class: "small quiet" }, about, prose(parameter.description || schema.description))) };
}

/** bodyField is the control for the request's body, null for none. */
function bodyField(doc, operation) {
	const [media, content] = Object.entries((operation.requestBody || {}).content || {})[0] || [];
	if (!media) return null;
	const schema = content["x-line-schema"] || content.schema;
	const text = media === "*/*" ? "" : content["x-line-schema"] ? exampleLines(doc, schema) : operation.verb === "patch" ? "{}" : JSON.stringify(example(doc, schema), null, 2);
	const control = make("textarea", { id: "body", rows: Math.min(16, text.split("\n").length + 1), spellcheck: "false" });
	control.value = text;
	return { media, control, box: make("div", { class: "field" },
		make("label", { for: "body" }, "Body ", make("span", { class: "quiet small" }, media)), control,
		make("details", {}, make("summary", { class: "small" }, "Schema of " + (content["x-line-schema"] ? "a line" : "the body")), shape(doc, schema))) };
}

/** acceptField chooses the form of the answer. */
function acceptField(operation) {
	const success = Object.entries(operation.responses).find(([status]) => /^2/.test(status));
	const media = Object.keys(((success || [])[1] || {}).content || { "application/json": {} });
	const options = media.flatMap((m) => [m, m + ", application/problem+json"]);
	const control = make("select", { id: "accept" }, options.map((o) => make("option", { value: o }, o)));
	return { control, box: make("div", { class: "field" }, make("label", { for: "accept" }, "Accept"), control) };
}

/** answers lists what may come back. */
function answers(doc, operation) {
	return Object.entries(operation.responses).map(([status, given]) => {
		const answer = resolve(doc, given);
		const body = Object.entries(answer.content || {}).map(([media, c]) => make("div", {}, make("code", {}, media), shape(doc, c["x-event-schema"] || c["x-line-schema"] || c.schema)));
		const details = make("details", {}, make("summary", {}, make("strong", {}, status), " ", (answer.description || "").split("\n")[0]), body);
		return details;
	});
}

/** show puts one operation on the page. */
function show(doc, operation) {
	const main = byID("operation");
	document.title = operation.operationId + " · " + doc.info.title;
	const fields = (operation.parameters || []).map((p, i) => field(doc, resolve(doc, p), i));
	const body = bodyField(doc, operation);
	const accept = acceptField(operation);
	const more = make("textarea", { id: "more", rows: 2, spellcheck: "false", placeholder: "Authorization: Bearer ..." });
	const button = make("button", { class: "main", type: "submit" }, "Send");
	const stop = make("button", { type: "button", disabled: true }, "Stop");
	const result = make("section", { "aria-label": "Answer" });
	const form = make("form", { novalidate: true }, fields.filter((f) => f.parameter.in !== "header").map((f) => f.box), body && body.box, accept.box,
		make("details", {}, make("summary", {}, "Headers"), fields.filter((f) => f.parameter.in === "header").map((f) => f.box),
			make("div", { class: "field" }, make("label", { for: "more" }, "Others, one on each line"), more)),
		make("div", { class: "row" }, button, stop));
	form.addEventListener("submit", (event) => {
		event.preventDefault();
		run(operation, { fields, body, accept, more, button, stop, result });
	});
	main.replaceChildren(make("h2", {}, operation.summary || operation.operationId, operation.deprecated && " (deprecated)"),
		make("p", { class: "path" }, make("span", { class: "verb " + operation.verb }, operation.verb.toUpperCase()), " ", operation.path),
		...prose(operation.description), make("h3", {}, "Try it"), form, result, make("h3", {}, "Answers"), ...answers(doc, operation));
}

/** requestOf puts together what the form says. */
function requestOf(operation, form) {
	const headers = { Accept: form.accept.control.value };
	if (form.body) headers["Content-Type"] = form.body.media === "*/*" ? "application/octet-stream" : form.body.media;
	const values = form.fields.map((f) => ({ parameter: f.parameter, text: f.control.value }));
	for (const { parameter, text } of values) if (parameter.in === "header" && text) headers[parameter.name] = text;
	for (const line of form.more.value.split("\n")) {
		const colon = line.indexOf(":");
		if (colon < 1) continue;
		const name = line.slice(0, colon).trim();
		for (const other of Object.keys(headers)) if (other.toLowerCase() === name.toLowerCase()) delete headers[other];
		headers[name] = line.slice(colon + 1).trim();
	}
	const request = { method: operation.verb.toUpperCase(), url: address(base, operation.path, values), headers, stream: /event-stream|ndjson/.test(headers.Accept) };
	if (form.body) request.body = form.body.control.value + (form.body.media === "application/x-ndjson" ? "\n" : "");
	return request;
}

/** run sends a request and shows what comes. */
function run(operation, form) {
	const empty = form.fields.find((f) => f.parameter.in === "path" && !f.control.value);
	if (empty) return empty.control.focus();
	const abort = new AbortController();
	const request = { ...requestOf(operation, form), signal: abort.signal };
	const status = make("p", { role: "status" }, "Sent…");
	const events = make("ol", { class: "events" });
	const place = make("div", {});
	form.result.replaceChildren(make("h3", {}, "Answer"), status, place, events, make("details", {}, make("summary", { class: "small" }, "The same with curl"), make("pre", {}, curl(request))));
	form.button.disabled = true;
	form.stop.disabled = false;
	form.stop.onclick = () => abort.abort();
	let count = 0;
	const done = (text, className) => {
		form.button.disabled = false;
		form.stop.disabled = true;
		status.append(make("span", { class: className }, text + (count ? ", " + count + " received" : "")));
	};
	send(request, {
		started: (answer, ms) => place.append(...head(answer, ms, status)),
		text: (text) => place.append(text ? make("pre", { tabindex: 0, "aria-label": "Body" }, pretty(text)) : make("p", { class: "quiet" }, "No body.")),
		item: (item) => {
			count++;
			events.append(make("li", { class: item.name }, make("span", { class: "quiet small" }, "#" + count + " " + item.name + (item.id ? " · id " + item.id : "")), make("pre", {}, pretty(item.data))));
			while (events.children.length > maxItems) events.firstChild.remove();
			const resume = form.fields.find((f) => f.parameter.name === "Last-Event-ID");
			if (resume && item.id) resume.control.value = item.id;
		},
		ended: (ms) => done(" complete after " + Math.round(ms) + " ms", "quiet"),
		broke: (err, ms) => done(err.name === "AbortError" ? " stopped after " + Math.round(ms) + " ms" : " no answer: " + err.message, err.name === "AbortError" ? "quiet" : "bad"),
	});
}

/** head shows the status and the headers of an answer, the correlation ID first. */
function head(answer, ms, status) {
	status.replaceChildren(make("strong", { class: answer.ok || answer.status === 304 ? "good" : "bad" }, answer.status + " " + answer.statusText), " ", make("span", { class: "quiet" }, "first byte after " + Math.round(ms) + " ms;"));
	const id = answer.headers.get("x-correlation-id");
	const rows = [...answer.headers].map(([name, value]) => make("tr", {}, make("th", { scope: "row" }, name), make("td", { class: "mono" }, value)));
	return [id && make("p", {}, "Correlation ID ", make("code", {}, id)),
		make("details", {}, make("summary", { class: "small" }, rows.length + " headers"), make("table", {}, make("tbody", {}, rows)))].filter(Boolean);
}

/** begin reads the document and shows what the address asks for. */
async function begin() {
	const address = base + "/openapi.json";
	byID("document").href = address;
	const narrow = matchMedia("(max-width: 52rem)");
	let doc;
	try {
		const answer = await fetch(address);
		if (!answer.ok) throw new Error(answer.status + " " + answer.statusText);
		doc = await answer.json();
	} catch (err) {
		byID("operation").replaceChildren(make("p", { role: "alert", class: "bad" }, "The description at " + address + " could not be read: " + err.message + ". Load the page again in a moment."));
		return;
	}
	byID("title").textContent = doc.info.title;
	byID("version").textContent = doc.info.version;
	const operations = operationsOf(doc);
	const find = byID("find");
	const navigate = (event) => {
		const wanted = decodeURIComponent(location.hash.slice(1));
		const operation = operations.find((o) => o.operationId === wanted);
		list(doc, operations, find.value);
		if (operation) {
			show(doc, operation);
			byID("menu").open = !narrow.matches;
		} else {
			welcome(doc, operations);
		}
		if (event) byID("operation").focus();
	};
	find.addEventListener("input", () => list(doc, operations, find.value));
	addEventListener("hashchange", navigate);
	document.querySelector(".skip").addEventListener("click", (event) => {
		event.preventDefault(); // the address names an operation
		byID("operation").focus();
	});
	addEventListener("keydown", (event) => {
		if (event.key !== "/" || event.ctrlKey || event.metaKey || /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName)) return;
		event.preventDefault();
		byID("menu").open = true;
		find.focus();
	});
	navigate();
}

/** welcome is what is there before an operation is chosen. */
function welcome(doc, operations) {
	document.title = doc.info.title;
	byID("operation").replaceChildren(make("h2", {}, doc.info.title), ...prose(doc.info.description),
		...(doc.tags || []).flatMap((tag) => [make("h3", {}, tag.name), ...prose(tag.description)]),
		make("p", { class: "quiet" }, operations.length ? "Choose an operation to read about it and to try it." : "Nothing is served over REST yet: a method needs a google.api.http rule."));
}

begin();
