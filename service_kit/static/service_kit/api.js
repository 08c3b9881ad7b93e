// The browsable API's forms for PUT, PATCH, DELETE and raw data, which a browser does not send by itself.
(function () {
  "use strict";
  const page = document.body.dataset;

  function request(form, method) {
    const headers = { Accept: "text/html; q=1.0, */*", [page.csrfHeader]: page.csrfToken };
    if (page.ifMatch && method !== "POST") {
      // Another person's change since this page was read is not overwritten: 412.
      headers["If-Match"] = page.ifMatch;
    }
    const type = form.elements._content_type;
    if (type) {
      headers["Content-Type"] = type.value;
      return { method, headers, body: form.elements._content.value };
    }
    return { method, headers, body: form.elements.length > 1 ? new FormData(form) : undefined };
  }

  async function send(event) {
    const form = event.target;
    const method = (event.submitter && event.submitter.dataset.method) || form.dataset.method;
    if (!method) {
      return;
    }
    event.preventDefault();
    const url = form.getAttribute("action");
    const sent = request(form, method);
    const answer = await fetch(url, sent);
    if (!(answer.headers.get("Content-Type") || "").toLowerCase().startsWith("text/html")) {
      location.assign(url);
      return;
    }
    const text = await answer.text();
    document.open("text/html");
    document.write(text);
    document.close();
    history.replaceState({}, "", url);
    scroll(0, 0);
    if (!answer.ok && sent.body instanceof FormData) {
      keep(sent.body);
    }
  }

  // What was refused can be corrected, or copied and sent once more.
  function keep(values) {
    for (const [name, value] of values) {
      const field = document.querySelector(`form[data-method="PUT"] [name="${CSS.escape(name)}"]`);
      if (field) {
        field.value = value;
      }
    }
  }

  document.addEventListener("submit", send);
  document.addEventListener("click", (event) => {
    const opens = event.target.dataset && event.target.dataset.opens;
    if (opens) {
      document.getElementById(opens).showModal();
    }
  });
})();
