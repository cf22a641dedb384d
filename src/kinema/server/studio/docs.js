/** The API's page: Swagger UI over openapi.json. Nothing comes from another server, and nothing is sent to one. */
window.SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#docs",
  presets: [window.SwaggerUIBundle.presets.apis],
  deepLinking: true,
  docExpansion: "list",
  defaultModelsExpandDepth: 0,
  validatorUrl: null,
});
