// Schemas: what they look like, and an example of each.

/** make builds an element; text goes in as text, never as markup. */
function make(tag, attributes, ...children) {
	const e = document.createElement(tag);
	for (const [name, value] of Object.entries(attributes || {})) {
		if (typeof value === "function") e.addEventListener(name, value);
		else if (value === true) e.setAttribute(name, "");
		else if (value !== undefined && value !== false && value !== null) e.setAttribute(name, value);
	}
	e.append(...children.flat().filter((c) => c !== undefined && c !== null && c !== false));
	return e;
}

/** prose shows the little of CommonMark that comments have: paragraphs, indented code and `code`. */
function prose(text, className) {
	const all = [];
	for (const paragraph of (text || "").split(/\n{2,}/)) {
		if (!paragraph.trim()) continue;
		if (/^(\s{2,}|\t)/.test(paragraph)) {
			all.push(make("pre", {}, paragraph));
			continue;
		}
		const parts = paragraph.replace(/\s+/g, " ").split("`");
		all.push(make("p", { class: className }, parts.map((part, i) => (i % 2 ? make("code", {}, part) : part))));
	}
	return all;
}

/** resolve follows references; what stands beside one goes before what it names. */
function resolve(doc, node) {
	for (let hops = 0; node && node.$ref && hops < 32; hops++) {
		const { $ref, ...beside } = node;
		let target = doc;
		for (const part of $ref.replace(/^#\//, "").split("/")) {
			target = (target || {})[decodeURIComponent(part).replaceAll("~1", "/").replaceAll("~0", "~")];
		}
		node = { ...target, ...beside };
	}
	return node || {};
}

/** typeName says in a few words what a schema is. */
function typeName(doc, schema) {
	const s = resolve(doc, schema);
	if (s.enum && s.enum.length <= 6) return s.enum.join(" | ");
	if (s.enum) return "one of " + s.enum.length + " names";
	if (s.type === "array") return "list of " + typeName(doc, s.items || {});
	if (s.type === "object" && s.additionalProperties && s.additionalProperties !== true) return "map of " + typeName(doc, s.additionalProperties);
	if (s.anyOf) return s.anyOf.map((c) => typeName(doc, c)).join(" or ");
	const name = schema && schema.$ref ? schema.$ref.split("/").pop() : s.type || "anything";
	return s.format && s.type !== "object" ? name + " (" + s.format + ")" : name;
}

const limits = ["pattern", "minLength", "maxLength", "x-max-bytes", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "x-minimum", "x-maximum", "minItems", "maxItems", "minProperties", "maxProperties", "const", "contentEncoding"];

/** limitsOf lists the constraints of a schema. */
function limitsOf(schema) {
	return limits.filter((l) => schema[l] !== undefined).map((l) => l.replace(/^x-/, "") + " " + schema[l]).join(", ");
}

/** shape shows a schema as a tree that opens step by step: messages may hold themselves. */
function shape(doc, schema) {
	const s = resolve(doc, schema);
	const box = make("div", { class: "schema" });
	box.append(...prose(s.description, "quiet"));
	let inner = s;
	if (s.type === "array") inner = resolve(doc, s.items);
	else if (s.additionalProperties && s.additionalProperties !== true) inner = resolve(doc, s.additionalProperties);
	else if (s.anyOf) box.append(...s.anyOf.map((choice) => member(doc, typeName(doc, choice), choice, false)));
	if (s["x-enum-descriptions"]) {
		box.append(make("ul", {}, Object.entries(s["x-enum-descriptions"]).map(([n, d]) => make("li", {}, make("code", {}, n), " ", make("span", { class: "quiet" }, d)))));
	}
	if (!inner.properties) return box;
	const required = new Set(inner.required || []);
	box.append(make("ul", {}, Object.entries(inner.properties).map(([n, p]) => make("li", {}, member(doc, n, p, required.has(n))))));
	return box;
}

/** member shows one field; what is in it comes when it is opened. */
function member(doc, name, schema, required) {
	const s = resolve(doc, schema);
	const marks = [required && "required", s.readOnly && "read only", s.deprecated && "deprecated"].filter(Boolean).join(", ");
	const line = [make("code", {}, name), " ", make("span", { class: "quiet" }, typeName(doc, schema)), marks && make("strong", {}, " " + marks), limitsOf(s) && make("span", { class: "quiet" }, " · " + limitsOf(s))];
	const inner = s.type === "array" ? resolve(doc, s.items) : s;
	const deeper = inner.properties || inner["x-enum-descriptions"] || s.anyOf || s.description;
	if (!deeper) return make("div", {}, line);
	const details = make("details", {}, make("summary", {}, line));
	details.addEventListener("toggle", () => {
		if (details.open && details.children.length === 1) details.append(shape(doc, schema));
	});
	return details;
}

/**
 * example makes a value that a schema lets through, or nearly: the person fills in the rest. What a message holds of
 * its own kind is left out; within are the names of the messages that it is in.
 */
function example(doc, schema, depth = 0, within = []) {
	const s = resolve(doc, schema);
	if (schema && schema.$ref) within = [...within, schema.$ref];
	if (s.examples && s.examples.length) return s.examples[0];
	if (s.const !== undefined) return s.const;
	if (s.enum) return s.enum.find((n) => !/_UNSPECIFIED$/.test(n)) ?? s.enum[0];
	if (s.anyOf) return example(doc, s.anyOf[0], depth, within);
	switch (s.type) {
		case "boolean": return false;
		case "integer": case "number": return s.minimum || 0;
		case "array": return depth > 4 || within.includes((s.items || {}).$ref) ? [] : [example(doc, s.items || {}, depth + 1, within)];
		case "string": return exampleText(s);
		case "object": return depth > 4 ? {} : exampleObject(doc, s, depth, within);
	}
	return null;
}

function exampleText(s) {
	if (s.format === "date-time") return new Date().toISOString();
	if (s.format === "uuid") return crypto.randomUUID ? crypto.randomUUID() : "";
	if (/^u?int64$/.test(s.format || "")) return s["x-exclusive-minimum"] === "0" ? "1" : "0";
	return "";
}

function exampleObject(doc, s, depth, within) {
	const left = new Set();
	for (const one of s.allOf || []) {
		const members = (one.oneOf || []).filter((c) => c.required).map((c) => c.required[0]);
		members.slice(1).forEach((m) => left.add(m));
	}
	const value = {};
	for (const [name, p] of Object.entries(s.properties || {})) {
		const f = resolve(doc, p);
		const given = (f["x-field-behavior"] || []).includes("IDENTIFIER") || name === "etag"; // by the server
		if (!left.has(name) && !f.readOnly && !given && !within.includes(p.$ref)) value[name] = example(doc, p, depth + 1, within);
	}
	return value;
}

/** exampleLines makes a line for each member of a oneof: streams often begin with one and go on with another. */
function exampleLines(doc, schema) {
	const s = resolve(doc, schema);
	const one = (s.allOf || []).find((a) => a.oneOf);
	if (!one) return JSON.stringify(example(doc, schema));
	return one.oneOf.filter((c) => c.required).map((c) => JSON.stringify({ [c.required[0]]: example(doc, s.properties[c.required[0]], 1) })).join("\n");
}
