// Drives DynamicsWebApi against the address in argv[2] and prints what each step gave, as one JSON object.
const { DynamicsWebApi } = require("dynamics-web-api");

const api = new DynamicsWebApi({
  serverUrl: process.argv[2],
  dataApi: { version: "9.2" },
  onTokenRefresh: async () => "dev-token",
});
const CRM = "Microsoft.Dynamics.CRM.";
const label = (text) => ({ LocalizedLabels: [{ Label: text, LanguageCode: 1033 }] });
const story = {};

async function step(name, run) {
  try {
    story[name] = await run();
  } catch (error) {
    story[name] = { status: error.status, code: error.code };
  }
  return story[name];
}

async function definitions() {
  const table = await api.createEntity({
    data: {
      "@odata.type": `${CRM}EntityMetadata`,
      SchemaName: "cio_Event",
      OwnershipType: "UserOwned",
      DisplayName: label("Event"),
      DisplayCollectionName: label("Events"),
      Attributes: [{ "@odata.type": `${CRM}StringAttributeMetadata`, SchemaName: "cio_Name", IsPrimaryName: true, MaxLength: 200 }],
    },
  });
  for (const [kind, name, more] of [["Integer", "cio_Number", {}], ["String", "cio_Code", { MaxLength: 50 }]])
    await api.createAttribute({ entityKey: table, data: { "@odata.type": `${CRM}${kind}AttributeMetadata`, SchemaName: name, ...more } });
  const code = await api.retrieveAttribute({
    entityKey: table, attributeKey: "LogicalName='cio_code'", castType: `${CRM}StringAttributeMetadata`,
  });
  await api.updateAttribute({ entityKey: table, castType: `${CRM}StringAttributeMetadata`, data: { ...code, MaxLength: 80 } });
  await step("changed column", async () => (await api.retrieveAttribute({
    entityKey: table, attributeKey: "LogicalName='cio_code'", castType: `${CRM}StringAttributeMetadata`,
  })).MaxLength);
  const relation = await api.createRelationship({
    data: {
      "@odata.type": `${CRM}OneToManyRelationshipMetadata`,
      SchemaName: "cio_contact_event",
      ReferencedEntity: "contact",
      ReferencingEntity: "cio_event",
      Lookup: { "@odata.type": `${CRM}LookupAttributeMetadata`, SchemaName: "cio_ContactId", DisplayName: label("Contact") },
    },
  });
  await step("relationship", async () => (await api.retrieveRelationship({ key: relation })).SchemaName);
  await api.createGlobalOptionSet({
    data: { "@odata.type": `${CRM}OptionSetMetadata`, Name: "cio_colour", IsGlobal: true, OptionSetType: "Picklist",
      DisplayName: label("Colour"), Options: [{ Value: 1, Label: label("Red") }] },
  });
  await step("choice", async () => (await api.retrieveGlobalOptionSet({ key: "Name='cio_colour'" })).Options.length);
  await step("csdl", async () => (await api.retrieveCsdlMetadata({})).includes('<EntitySet Name="cio_events"'));
}

async function rows() {
  const person = await api.create({ collection: "contacts", data: { lastname: "Bell", firstname: "Ann" } });
  const account = await api.create({
    collection: "accounts", data: { name: "Acme", contact_customer_accounts: [{ lastname: "Deep" }] },
  });
  await step("created", async () => (await api.retrieve({ collection: "contacts", key: person, select: ["fullname"] })).fullname);
  await step("only create", () => api.upsert({ collection: "contacts", key: person, data: { lastname: "x" }, ifnonematch: "*" }));
  await step("only update", () => api.upsert({
    collection: "contacts", key: "0aaaaaaa-0000-4000-8000-000000000002", data: { lastname: "x" }, ifmatch: "*",
  }));
  await step("stale", async () => {
    const row = await api.retrieve({ collection: "contacts", key: person, select: ["lastname"] });
    await api.update({ collection: "contacts", key: person, data: { jobtitle: "first" }, ifmatch: row["@odata.etag"] });
    return api.update({ collection: "contacts", key: person, data: { jobtitle: "second" }, ifmatch: row["@odata.etag"] });
  });
  const link = { collection: "accounts", primaryKey: account, relationshipName: "contact_customer_accounts" };
  await api.associate({ ...link, relatedCollection: "contacts", relatedKey: person });
  const members = async () => (await api.retrieveAll({ collection: `accounts(${account})/contact_customer_accounts`, select: ["lastname"] })).value.length;
  await step("linked", members);
  await api.disassociate({ ...link, relatedKey: person });
  await step("unlinked", members);
  await step("expanded", async () => (await api.retrieve({
    collection: "accounts", key: account, select: ["name"],
    expand: [{ property: "contact_customer_accounts", select: ["lastname"], orderBy: ["lastname"], top: 1 }],
  })).contact_customer_accounts.map((row) => row.lastname));
  await step("too long", () => api.create({ collection: "contacts", data: { lastname: "x".repeat(51) } }));
}

async function queries() {
  const targets = Array.from({ length: 25 }, (_, at) => ({ "@odata.type": `${CRM}cio_event`, cio_name: `n${at % 2}`, cio_number: at }));
  await api.callAction({ collection: "cio_events", actionName: `${CRM}CreateMultiple`, action: { Targets: targets } });
  await step("all pages", async () => (await api.retrieveAll({ collection: "cio_events", select: ["cio_name"], maxPageSize: 10 })).value.length);
  await step("count", () => api.count({ collection: "cio_events", filter: "cio_number gt 20" }));
  await step("total", async () => (await api.callFunction({
    name: "RetrieveTotalRecordCount", parameters: { EntityNames: ["cio_event"] },
  })).EntityRecordCountCollection.Values);
  await step("groups", async () => (await api.retrieveMultiple({
    collection: "cio_events", apply: "groupby((cio_name),aggregate($count as n))",
  })).value.map((row) => [row.cio_name, row.n]).sort());
  await step("fetched", async () => (await api.fetchAll({
    collection: "cio_events", includeAnnotations: "*",
    fetchXml: '<fetch count="10"><entity name="cio_event"><attribute name="cio_name"/></entity></fetch>',
  })).value.length);
  await step("long query", async () => (await api.retrieveMultiple({
    collection: "cio_events", select: ["cio_number"], filter: Array.from({ length: 200 }, (_, at) => `cio_number eq ${at}`).join(" or "),
  })).value.length);
  await step("tracked", async () => (await api.retrieveMultiple({ collection: "contacts", select: ["lastname"], trackChanges: true }))["@odata.deltaLink"].includes("$deltatoken="));
}

async function batches() {
  api.startBatch();
  api.create({ collection: "contacts", data: { lastname: "b" }, contentId: "1" });
  api.create({ collection: "accounts", data: { name: "B", "primarycontactid@odata.bind": "$1" }, contentId: "2" });
  api.retrieveMultiple({ collection: "cio_events", select: ["cio_name"], top: 2 });
  await step("batch", async () => (await api.executeBatch()).map((part) => typeof part));
  api.startBatch();
  api.create({ collection: "contacts", data: { lastname: "kept" }, inChangeSet: false });
  api.create({ collection: "contacts", data: { lastname: 5 }, inChangeSet: false });
  api.count({ collection: "contacts", filter: "lastname eq 'kept'" });
  await step("going on", async () => (await api.executeBatch({ continueOnError: true })).at(-1));
}

(async () => {
  await api.create({
    collection: "publishers",
    data: { uniquename: "cio", friendlyname: "cio", customizationprefix: "cio", customizationoptionvalueprefix: 72700 },
  });
  for (const part of [definitions, rows, queries, batches]) await part();
  console.log(JSON.stringify(story));
})();
