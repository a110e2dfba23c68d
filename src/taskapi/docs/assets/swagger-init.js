// A file of its own and not an inline script: the page's CSP allows no inline script.
window.ui = SwaggerUIBundle({
  dom_id: "#docs",
  url: document.currentScript.dataset.spec,
  // The default asks a public validator whether the document is valid, and so tells it our address.
  validatorUrl: null,
  // A bearer token written to the browser's storage would outlive the tab.
  persistAuthorization: false,
  deepLinking: true,
  displayRequestDuration: true,
  supportedSubmitMethods: ["get", "head", "options", "post", "put", "patch", "delete"],
});
